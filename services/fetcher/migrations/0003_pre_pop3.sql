-- Numbers of the mails in a POP3 drop: a server names them by UIDL, which it may use again for another mail.
CREATE TABLE fetcher.drops (
    account    text NOT NULL PRIMARY KEY,
    generation bigint NOT NULL,       -- grows when no mail known before is listed any more
    next_uid   bigint NOT NULL
);

CREATE TABLE fetcher.uidls (
    account       text NOT NULL,
    name          text NOT NULL,
    size          bigint NOT NULL,
    uid           bigint NOT NULL,
    sha256        text,               -- of its body, once read
    missing_since timestamptz,        -- never read, and not listed any more
    PRIMARY KEY (account, name, size)
);
CREATE UNIQUE INDEX uidls_by_uid ON fetcher.uidls (account, uid);

GRANT SELECT, INSERT, UPDATE, DELETE ON fetcher.drops, fetcher.uidls TO carteiro_fetcher;
