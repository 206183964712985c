"""What several tests share, and the scripts that write what is generated."""
