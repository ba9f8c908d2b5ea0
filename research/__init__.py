"""Questions that were asked about the methods: one folder each, with script and result. LOG.md tells all of them."""
