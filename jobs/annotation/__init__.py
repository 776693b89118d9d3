"""Ask people what listings sell, on a terminal, and judge what they said."""
