"""`vocality models`: what is here, and what can be fetched."""
