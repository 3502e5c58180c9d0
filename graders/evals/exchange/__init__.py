"""Import and export of evals and runs: from other servers, as the API's objects, as exports, as results files."""
