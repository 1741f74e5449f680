-- A place in a topic is no name for ever: Kafka that was set up anew gives its offsets again. What stood there tells two
-- records apart; a letter that is delivered twice is still one row.
CREATE UNIQUE INDEX dead_letters_once ON ticketing.dead_letters
    (origin_topic, origin_partition, origin_offset, origin_id, sha256(coalesce(key, '') || coalesce(value, '')));
