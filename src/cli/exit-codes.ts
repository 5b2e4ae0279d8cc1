/** Exit codes of every command, as docs/man/portcullis.1.md lists them. 64, 70 and 74 are those of sysexits(3). */
export const EXIT = {
  done: 0,
  invalidInput: 1,
  differs: 2,
  dropped: 3,
  kernelRefused: 4,
  /** Of `status`, each the first that holds: a change waits; the source is stale; no device of a port is there; guests' devices are not filtered; bad objects are isolated. */
  late: 10,
  stale: 11,
  absent: 12,
  notFiltered: 13,
  isolated: 14,
  /** Of `doctor`: something keeps this host from enforcing, or may go wrong or cannot be told. */
  unfit: 15,
  doubtful: 16,
  usage: 64,
  internal: 70,
  /** What was to be said or written was not, or not all of it: the disk is full, the reader is gone. */
  inputOutput: 74,
} as const;
