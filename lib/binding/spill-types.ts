/**
 * Entries that the merging pass sets aside, so that emitDelta needs not read the inputs again: of each task those whose
 * key reaches the lower end of the selection's window. What is missing (merged without it, beyond the limit, a full disk,
 * a threshold below the window) is read from the inputs, with the same result. Its files have no name and vanish with it.
 */
export interface NativeSpill {
  /** Gives the disk space back once no running job uses it. Idempotent. */
  close(): void
}
