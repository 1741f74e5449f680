-- The old version names this constraint in its inserts.
ALTER TABLE ticketing.dead_letters
    DROP CONSTRAINT dead_letters_origin_topic_origin_partition_origin_offset_or_key;
