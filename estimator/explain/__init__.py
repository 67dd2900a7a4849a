"""Where a latency goes: the critical path, the ops that make it long, and what would make it shorter."""
