/** Typed mirror of the part of native/addon that keeps models on a GPU. */

/** Exports of taskfold.node for models that stay on a device. */
// biome-ignore lint/suspicious/noEmptyInterface: filled by the resident model
export interface ResidentBinding {}
