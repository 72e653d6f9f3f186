/** How the ranks of an adapter's layers are chosen; {@link chooseRanks} says what each means exactly. */
export type RankRule =
  /** One rank for all layers. */
  | { readonly kind: 'rank'; readonly rank: number }
  /** Per layer: a share of the squared Frobenius norm, above 0 and at most 1. */
  | { readonly kind: 'energy'; readonly share: number }
  /** Per layer: singular values above the largest ÷ ratio; ratio is at least 1. */
  | { readonly kind: 'sv-ratio'; readonly ratio: number }
  /** Per layer: a share of the Frobenius norm, above 0 and at most 1. */
  | { readonly kind: 'sv-fro'; readonly share: number }
  /** Per layer: a share of the sum of singular values, above 0 and at most 1. */
  | { readonly kind: 'sv-cumulative'; readonly share: number }
  /** All layers together: parameters of the factors. */
  | { readonly kind: 'budget'; readonly parameters: number }
  /** All layers together: bytes of the factors, without header and alphas. */
  | { readonly kind: 'budget-bytes'; readonly bytes: number }
