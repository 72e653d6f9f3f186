/** How the ranks of an adapter's layers are chosen; `kind` is the name of the option, {@link RankOptions}. */
export type RankRule =
  | {
      /** One rank for all layers. */
      readonly kind: 'rank'
      /** q. */
      readonly rank: number
    }
  | {
      /** Per layer: singular values above the largest ÷ ratio. */
      readonly kind: 'sv-ratio'
      /** At least 1. */
      readonly ratio: number
    }
  | {
      /** Per layer: a share of the squared Frobenius norm, of the Frobenius norm, or of the sum of singular values. */
      readonly kind: 'energy' | 'sv-fro' | 'sv-cumulative'
      /** Above 0 and at most 1. */
      readonly share: number
    }
  | {
      /** All layers together. */
      readonly kind: 'budget'
      /** Parameters of the factors. */
      readonly parameters: number
    }
  | {
      /** All layers together. */
      readonly kind: 'budget-bytes'
      /** Bytes of the factors, without header and alphas. */
      readonly bytes: number
    }
