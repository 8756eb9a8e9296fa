"""Headings of columns and formats of their values: the one registry of all tables of the book.

A format is Python's, "" for text and for what is true or not, "points" for a share in signed
percentage points, or "rounded" for `wording.rounded`. A table that says otherwise of a column
overrides it: `headings("head", "low") | {"low": ("Quartiles from", ".2f")}`.
"""

NAMED = {  # columns that are headed by their own names, by format
    "": "arm backbone case changed claim commit converged data day device effect expected "
    "head kind measure met model part points precision protocol python question "
    "schedule seen study term test verdict way",
    "d": "batch cores dead_experts devices epochs epochs_with_dead experts heads images "
    "more_images pairs probes products records runs seed seeds sessions tasks threads",
    ",d": "head_parameters",
    "g": "label_smoothing learning_rate radius weight_decay",
    ".0%": "stays",
    ".1%": "accuracy consistency entailed rerouted said_true unknown_words",
    ".2f": "by_seed hours overhead specialisation tau",
    ".3f": "brier confidence",
    ".5f": "ceiling",
    ".2g": "gradient_norm",
    ".4g": "trace",
    "rounded": "baseline change",
}
HEADINGS = {
    **{
        name: (name.replace("_", " ").capitalize(), spec)
        for spec, names in NAMED.items()
        for name in names.split()
    },
    # of several chapters
    "low": ("95% from", ".2f"),
    "high": ("to", ".2f"),
    "difference": ("Difference, points", "points"),
    "p_value": ("p", ".2g"),
    "ms": ("ms", ".4g"),
    "ratio": ("Times dense", ".2f"),
    "what": ("Difference", ""),
    "information": ("Information, nats", ".3f"),
    "split": ("Images", ""),
    "loss": ("Loss, nats", ".4f"),
    "residual": ("Residual", ".1g"),
    "hidden": ("Hidden units", "d"),
    "name": ("", ""),
    "adjusted": ("p, corrected", ".2g"),
    "without": ("Tau without one family", ".2f"),
    # accuracy
    "done": ("Seeds", ""),
    "total_parameters": ("All parameters", ",d"),
    "mean": ("Mean test accuracy", ".2%"),
    "deviation": ("Standard deviation", ".2%"),
    "interval_over": ("over", ""),
    "only_head_right": ("Only this head right", "d"),
    "only_reference_right": ("Only dense right", "d"),
    # ablations
    "hypothesis": ("Expected", ""),
    "detectable": ("Detectable beyond it, points", ".2f"),
    # utilization
    "gate_mass_variation": ("CV of gate mass", ".3f"),
    "load_variation": ("CV of load", ".3f"),
    "entropy": ("Entropy, nats", ".3f"),
    "entropy_bound": ("Bound", ".3f"),
    "null_mean": ("Shuffled, mean", ".3f"),
    "null_95": ("Shuffled, 95% below", ".3f"),
    "information_bound": ("Entropy of the classes", ".3f"),
    # sharpness
    "error": ("Standard error", ".2g"),
    "max": ("Largest eigenvalue", ".3g"),
    "stopped": ("Stopped by", ""),
    "top": ("Largest of H", ".4g"),
    "lambda_min": ("Lowest of H", ".3g"),
    "gauss_newton_max": ("Largest of G", ".4g"),
    "lambda_max": ("Largest of H", ".4g"),
    "average_rise_error": ("Standard error", ".1g"),
    "eigenvalues": ("Eigenvalues as returned", ".3f"),
    "worst_error": ("Largest error", ".2%"),
    # surface
    "eigenvalue": ("Largest eigenvalue", ".4g"),
    "rise": ("Rise, nats", ".3g"),
    # efficiency
    "active_parameters": ("Active", ",d"),
    "head_macs": ("MACs, needed", ",d"),
    "executed_macs": ("run", ",d"),
    "backbone_macs": ("Backbone's MACs", ",d"),
    "head_share": ("Head's share of MACs", ".3%"),
    "gain": ("Whole model, times backbone", ".3f"),
    "gain_low": ("Quartiles from", ".3f"),
    "gain_high": ("to", ".3f"),
    "ms_low": ("Quartiles from", ".4g"),
    "ms_high": ("to", ".4g"),
    "images_per_second": ("Images/s", ",.0f"),
    "weights_mib": ("Weights, MiB", ".3g"),
    "peak_mib": ("One pass, MiB", ".3g"),
    # sparsity
    "features": ("d", "d"),
    "dtype": ("Precision", ""),
    "chosen": ("Executor", ""),
    "sparse_ms": ("Sparse, ms", ",.4g"),
    "speedup": ("Speed-up", ".1f"),
    "price": ("Price, ms", ".3g"),
    # benchmarks
    "candidate": ("This project", "rounded"),
    "target": ("Aim", ".2f"),
    "repeats": ("Pairs", "d"),
    # robustness
    "outcome": ("Outcome", ""),
    "rho": ("Spearman, all runs (95% interval)", ""),
    "within": ("within heads", ".2f"),
    "holm": ("corrected", ".2g"),
    "corruption_error": ("Error, corrupted", ".3f"),
    "ece": ("ECE", ".2%"),
    "tempered_ece": ("ECE, tempered", ".2%"),
    "corrupted_ece": ("ECE, corrupted", ".2%"),
    "temperature": ("Fitted T", ".2f"),
    "shared": ("The two runs share", ""),
    "agreement": ("Same class, share of images", ".3f"),
    "equal_errors": ("Same wrong class, share of errors", ".3f"),
    # claims
    "n": ("n", ".0f"),
    "needed": ("Seeds needed", ".0f"),
    "figure": ("Shown in", ""),
    # reproducibility
    "code": ("Its code", ""),
    "torch": ("torch", ""),
    "batch_size": ("Batch", "d"),
    "training": ("Training, hours", ".2f"),
    "analyses": ("Analyses, hours", ".2f"),
    "task_hours": ("Hours, summed over tasks", ".2f"),
    "kilowatt_hours": ("GPU energy, kWh", ".3f"),
    "seconds_per_epoch": ("Epoch, seconds", ".1f"),
    "seed_hours": ("One seed, training, hours", ".2f"),
    "analysed_seed_hours": ("with analyses", ".2f"),
    # modalities
    "total": ("Million weights", ".2f"),
    "active": ("active", ".2f"),
    "gap": ("Gap, points", "points"),
    "dead": ("Dead experts per layer", ".2f"),
    "largest": ("Largest eigenvalue", "rounded"),
    "k": ("k", ".0f"),
    "set": ("Changed from the default", ""),
    "majority": ("More frequent label", ".1%"),
    # modalities at true shapes
    "source": ("Routing", ""),
    "homes": ("Tokens dealt by", ""),
    "megabytes": ("MB", "rounded"),
    "compute_ms": ("Experts, ms", "rounded"),
    "billions": ("Billions of weights", ".1f"),
    "GQA": ("GQA, published", ".1f"),
    "MMBench": ("MMBench, published", ".1f"),
    "bound_ms": ("Bound, ms", "rounded"),
    "share": ("k/E", ".3f"),
    "away": ("Choices away", ".1%"),
    "chance": ("by chance", ".1%"),
    "away_words": ("of words", ".1%"),
    "away_patches": ("of patches", ".1%"),
    "leaving": ("Tokens that leave, if choices are independent", ".1%"),
    "imbalance": ("Busiest load, times mean", ".2f"),
    "statement": ("Predicted", ""),
    "criterion": ("Holds if", ""),
}


def headings(*columns: str) -> dict[str, tuple[str, str]]:
    """Heading and format of each of these columns, in their order.

    A column that is not in the registry has those of the last word of its name.

    >>> headings("head", "trace_error")
    {'head': ('Head', ''), 'trace_error': ('Standard error', '.2g')}
    """
    return {
        column: HEADINGS[column if column in HEADINGS else column.rpartition("_")[2]]
        for column in columns
    }
