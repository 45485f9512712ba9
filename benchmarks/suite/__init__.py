"""The parts of run.py: races between scratchnet and its peers, the distance to the machine's limit, growth."""
