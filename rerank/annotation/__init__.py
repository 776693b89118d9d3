"""What people said about listings: which to ask next, how well people agree, what they prefer."""
