/** The partial folder lacks bytes that its journal says are there: the fold starts afresh. Never leaves lib/fold. */
export class StaleJournal extends Error {}
