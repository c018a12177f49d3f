"""Mail: takes a message in, asks the tracker's domain what may be measured, hands the copies upstream."""
