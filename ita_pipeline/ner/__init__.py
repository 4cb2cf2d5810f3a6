"""The tagger: encoder, CRF, cross-view alignment, training, scoring, prediction."""
