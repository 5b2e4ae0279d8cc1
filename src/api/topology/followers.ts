/** Who reads the feed now, and how far each has been told and has taken it. */
export interface Follower {
  /** The newest revision that was handed to the network and taken by it. */
  readonly revision: () => number;
}

export class Followers {
  readonly #followers = new Set<Follower>();

  /** @returns ends it. */
  add(follower: Follower): () => void {
    this.#followers.add(follower);
    return () => this.#followers.delete(follower);
  }

  revisions(): readonly number[] {
    return [...this.#followers].map((one) => one.revision());
  }
}
