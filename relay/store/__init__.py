"""Mail's SQL, on the tracker's engine: what is kept until its last recipient is settled."""
