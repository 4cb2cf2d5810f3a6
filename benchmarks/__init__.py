"""What it costs, beside a peer in the same run: `make bench`. Ratios are worth quoting, seconds are not."""
