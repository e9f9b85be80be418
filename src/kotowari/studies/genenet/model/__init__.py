"""The networks of all samples, the stack that holds them, how sure their edges are, and prediction from them."""
