class SoftcacheError(Exception):
    """What is wrong with a cache, with answers, or with what was asked of them. The text names the file and says what to do."""
