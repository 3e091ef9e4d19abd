"""The tables of `history.db`, and the statements on them."""

from __future__ import annotations

FORMAT = 1
PAGE_BYTES = 4096
PAGES_MAX = 65_536  # 256 MiB

SCHEMA = f"""
create table polls (
    number integer primary key,
    id text not null,
    creation integer not null,
    unique (id, creation)
);
create table spans (began integer primary key, ended integer not null);
create table seconds (
    poll integer not null, time integer not null, total integer not null, options blob not null,
    primary key (poll, time)
) without rowid;
create table minutes (
    poll integer not null, time integer not null, total integer not null, options blob not null,
    primary key (poll, time)
) without rowid;
create table facts (name text primary key, value) without rowid;
pragma user_version = {FORMAT};
"""

# Exclusive: then there is no file `-shm`, which SQLite maps into memory. Whoever cut that one would kill the node.
SETTINGS = f"""
pragma locking_mode = exclusive;
pragma journal_mode = wal;
pragma synchronous = normal;
pragma max_page_count = {PAGES_MAX};
pragma journal_size_limit = 4194304;
"""

WRITE = "insert or replace into {table} values (?, ?, ?, ?)"
WRITE_SPAN = "insert into spans values (?, ?) on conflict (began) do update set ended = max(ended, excluded.ended)"
WRITE_FACT = "insert or replace into facts values (?, ?)"

NUMBER = "select number from polls where id = ? and creation = ?"
ADD_POLL = "insert into polls (id, creation) values (?, ?)"

# From the last row that is not after the beginning.
ROWS = """
select time, total, options from {table} where poll = :poll and time <= :to and time >= coalesce(
    (select max(time) from {table} where poll = :poll and time <= :from), :from
) order by time
"""
SPANS = "select began, ended from spans where ended >= ? and began <= ? order by began"

# The last row of each poll that is not after that time stays.
TRIM = """
delete from {table} where time < :before and time < (
    select max(newer.time) from {table} as newer where newer.poll = {table}.poll and newer.time <= :before
)
"""
NTH_TIME = "select time from {table} order by time limit 1 offset ?"

OTHERS_OF_NAME = "select number from polls where id = ? and creation is not ?"

FORGET_AFTER = (
    "delete from seconds where time >= :now",
    "delete from minutes where time >= :now",
    "delete from spans where began >= :now",
    "update spans set ended = :now - 1 where ended >= :now",
    "update facts set value = min(value, :now) where name in ('seconds', 'minutes')",
)
