/** Settings that the checks before a switchover and the repair of drift need to know, beside the declared ones. */
export const ownSettings: readonly string[] = [
  "archive_mode",
  "hot_standby",
  "max_connections",
  "max_locks_per_transaction",
  "max_prepared_transactions",
  "max_replication_slots",
  "max_wal_senders",
  "max_worker_processes",
  "primary_conninfo",
  "primary_slot_name",
  "synchronous_standby_names",
  "wal_segment_size",
  "wal_sender_timeout",
];
