/** Exit codes of every command. 64 and 70 are those of sysexits(3). */
export const EXIT = {
  done: 0,
  invalidInput: 1,
  differs: 2,
  dropped: 3,
  kernelRefused: 4,
  usage: 64,
  internal: 70,
} as const;
