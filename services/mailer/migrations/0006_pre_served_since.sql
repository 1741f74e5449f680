-- For how long a mailer has served an account without a break: who was away must not judge what nobody serves.
ALTER TABLE mailer.served ADD COLUMN since timestamptz NOT NULL DEFAULT now();
