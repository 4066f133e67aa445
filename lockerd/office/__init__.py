"""The central office: the link that dials it, the events it is sent, and the SMS that calls a citizen."""
