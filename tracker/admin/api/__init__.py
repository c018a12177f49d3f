"""`/api/v1`: what programs may ask and do, each operation described once (`operations`), from which routes, checks, the
OpenAPI document and the page for readers are made."""
