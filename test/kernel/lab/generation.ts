/** Prints the generation id of nf_tables: it counts the transactions of a network namespace. */
import { readGeneration } from '../../../agent/netlink/generation.js';

process.stdout.write(`${(await readGeneration()).toString()}\n`);
