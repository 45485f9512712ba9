"""What run.py is made of: races between scratchnet and its peers, how far each is from the machine's limit, growth."""
