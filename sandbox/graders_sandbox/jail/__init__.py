"""The jailed side: the server, its templates, and the samples forked from them."""
