-- What the sender wrote himself, without the history that the mail quotes; '' where that is all of `text`.
ALTER TABLE ticketing.articles ADD COLUMN reply_text text NOT NULL DEFAULT '';
