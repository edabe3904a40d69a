"""The ways in on AWS: each handler reads its settings, joins rooms and catches at the edge."""
