"""`tfx-bert score`: a large file of requests in, a file of answers out, shard by shard through a TFX pipeline."""
