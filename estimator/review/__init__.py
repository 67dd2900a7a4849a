"""What moved between two sets of goldens, and why: constants and facts, op streams, records, or the code."""
