-- UIDs that the cursor passed although the server never listed them: it may have shown a mail later than it counted it.
-- Compared with the server's list once a day.
CREATE TABLE fetcher.gaps (
    account     text NOT NULL,
    folder      text NOT NULL,
    first_uid   bigint NOT NULL,
    last_uid    bigint NOT NULL,
    noticed     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (account, folder, first_uid)
);
-- landmark: the last mail read, by whose date a mailbox that went back is known.
ALTER TABLE fetcher.folders
    ADD COLUMN compared_at   timestamptz,
    ADD COLUMN landmark_uid  bigint,
    ADD COLUMN landmark_date timestamptz;
GRANT SELECT, INSERT, UPDATE, DELETE ON fetcher.gaps TO carteiro_fetcher;
