"""PostgreSQL as the store of several gateways: connections, transactions, and what other gateways changed."""
