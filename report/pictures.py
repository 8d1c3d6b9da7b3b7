"""All figures of a pre-trained model or of a classifier for one sequence, for scripts.visualize and report.html."""

from report import figures, masks


def of_pretraining(model, sample, source, args):
    """{name: (Figure, overlay of the film)} of a MAMP or SkeletonMAE*, with the mask of args.seed."""
    tau, ratio, seed = args.motion_aware_tau, args.mask_ratio, args.seed
    found = masks.predict_masked(model, sample.x, seed, ratio, args.motion_stride, tau)
    intensity = masks.motion_intensity(model, sample.x)
    hidden = {f"motion-aware, τ = {tau:g}": found.hidden} if tau > 0 else {}
    hidden |= {"random": masks.uniform_mask(model, sample.x, seed, ratio)}
    shares = {name: masks.hidden_share(model, sample.x, ratio, 0 if name == "random" else tau, seed) for name in hidden}
    note = f"mask_ratio {ratio:g}, seed {seed}."
    return {
        "mask": figures.mask(sample, source, intensity, hidden, shares, note),
        "prediction": figures.prediction(sample, source, found, note),
        "intensity": figures.intensity(sample, source, intensity),
    }


def of_classifier(model, sample, source, args, data, label):
    """{name: (Figure, overlay of the film)} of a classifier."""
    found = masks.saliency(model, sample.x, getattr(args, "t_patch_size", 1), moving=args.input_stream == "motion")
    best, p = int(found.probability.argmax()), found.probability
    verdict = f"Predicted: {data.class_title(best)}, {100 * p[best]:.0f} %"
    if label == best:
        verdict += " · correct"
    elif label >= 0:
        verdict += f" · true: {data.class_title(label)}" + (f", {100 * p[label]:.0f} %" if label < len(p) else "")
    return {"saliency": figures.saliency(sample, source, found, verdict, data.class_title(best))}
