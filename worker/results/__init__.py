"""From parts to results: merging, lists for people, votes of products, drift, receipts."""
