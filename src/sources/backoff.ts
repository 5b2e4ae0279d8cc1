/**
 * Between tries, in milliseconds: doubled each time. Who says nothing at all has no work with being asked, and is found soon when he is
 * back: `mostUnheard`.
 */
export const BACKOFF = { first: 250, most: 5000, mostUnheard: 800 };
