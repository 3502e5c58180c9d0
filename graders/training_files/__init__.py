"""Files of training rows: the rows of three methods, their conversations and tokens, and what is wrong with a file."""
