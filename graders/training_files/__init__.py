"""Files of training rows: the rows of three methods, their conversations and tokens, and checks of a file."""
