"""Posts and what is known of their pictures: readers, dataset cards, contexts."""
