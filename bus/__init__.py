"""The data bus: topics, subscriptions, delivery with retry and dead letters. Transports: embedded (SQLite) and RabbitMQ."""
