"""How sure an edge is: refits on permuted genes, half samples and bootstraps."""
