"""What Amazon's speech services share: clients of boto3 in threads, and what their errors mean."""
