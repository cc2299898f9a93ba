"""The expectations of Great Expectations 1.24 and the arguments each takes, so that a plan can tell without importing it.

`?` marks an argument that may be left out. A test holds the table against the installed library.
"""

from __future__ import annotations

from dataclasses import dataclass

_TABLE = """
expect_column_distinct_values_to_be_in_set: column value_set @
expect_column_distinct_values_to_contain_set: column value_set @
expect_column_distinct_values_to_equal_set: column value_set @
expect_column_kl_divergence_to_be_less_than: column @ partition_object? threshold? internal_weight_holdout? tail_weight_holdout? bucketize_data? min_value? max_value?
expect_column_max_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_mean_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_median_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_min_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_most_common_value_to_be_in_set: column value_set @ ties_okay?
expect_column_pair_values_a_to_be_greater_than_b: column_A column_B mostly? @ or_equal? ignore_row_if?
expect_column_pair_values_to_be_equal: column_A column_B mostly? @ ignore_row_if?
expect_column_pair_values_to_be_in_set: column_A column_B value_pairs_set mostly? @ ignore_row_if?
expect_column_proportion_of_non_null_values_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_proportion_of_unique_values_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_quantile_values_to_be_between: column quantile_ranges @ allow_relative_error?
expect_column_stdev_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_sum_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_to_exist: column column_index?
expect_column_type_to_be: column type_
expect_column_unique_value_count_to_be_between: column @ min_value? max_value? strict_min? strict_max?
expect_column_value_lengths_to_be_between: column mostly? @ min_value? max_value? strict_min? strict_max?
expect_column_value_lengths_to_equal: column value mostly? @
expect_column_value_z_scores_to_be_less_than: column threshold double_sided mostly? @
expect_column_values_to_be_between: column mostly? @ min_value? max_value? strict_min? strict_max?
expect_column_values_to_be_dateutil_parseable: column mostly? @
expect_column_values_to_be_decreasing: column mostly? @ strictly?
expect_column_values_to_be_in_set: column value_set mostly? @
expect_column_values_to_be_in_type_list: column mostly? @ type_list?
expect_column_values_to_be_increasing: column mostly? @ strictly?
expect_column_values_to_be_json_parseable: column mostly? @
expect_column_values_to_be_null: column mostly? @
expect_column_values_to_be_of_type: column type_ mostly? @
expect_column_values_to_be_unique: column mostly? @
expect_column_values_to_match_json_schema: column json_schema mostly? @
expect_column_values_to_match_like_pattern: column like_pattern mostly? @ escape?
expect_column_values_to_match_like_pattern_list: column like_pattern_list mostly? @ match_on? escape?
expect_column_values_to_match_regex: column mostly? @ regex?
expect_column_values_to_match_regex_list: column regex_list mostly? @ match_on?
expect_column_values_to_match_strftime_format: column strftime_format mostly? @
expect_column_values_to_not_be_in_set: column value_set mostly? @
expect_column_values_to_not_be_null: column mostly? @
expect_column_values_to_not_be_outliers: column mostly? @ method? multiplier?
expect_column_values_to_not_match_like_pattern: column like_pattern mostly? @ escape?
expect_column_values_to_not_match_like_pattern_list: column like_pattern_list mostly? @ escape?
expect_column_values_to_not_match_regex: column regex mostly? @
expect_column_values_to_not_match_regex_list: column regex_list mostly? @
expect_compound_columns_to_be_unique: column_list mostly? @ ignore_row_if?
expect_multicolumn_sum_to_equal: column_list sum_total mostly? @ ignore_row_if?
expect_multicolumn_values_to_be_equal: column_list mostly? @ ignore_row_if?
expect_query_results_to_match_comparison: base_query comparison_data_source_name comparison_query mostly?
expect_select_column_values_to_be_unique_within_record: column_list mostly? @ ignore_row_if?
expect_table_column_count_to_be_between: min_value? max_value?
expect_table_column_count_to_equal: value
expect_table_columns_to_match_ordered_list: column_list?
expect_table_columns_to_match_set: column_set? exact_match?
expect_table_row_count_to_be_between: min_value? max_value? strict_min? strict_max? @
expect_table_row_count_to_equal: value @
expect_table_row_count_to_equal_other_table: other_table_name @
unexpected_rows_expectation: unexpected_rows_query
"""

# These need a SQL engine; a data check runs on a data frame.
SQL_ONLY = frozenset(
    {
        "expect_column_values_to_match_like_pattern",
        "expect_column_values_to_match_like_pattern_list",
        "expect_column_values_to_not_match_like_pattern",
        "expect_column_values_to_not_match_like_pattern_list",
        "expect_query_results_to_match_comparison",
        "expect_table_row_count_to_equal_other_table",
        "unexpected_rows_expectation",
    }
)


@dataclass(frozen=True, slots=True)
class Arguments:
    """The arguments an expectation must have, and those it may have."""

    required: frozenset[str]
    optional: frozenset[str]


def _read(line: str) -> tuple[str, Arguments]:
    name, _, arguments = line.replace(" @", " row_condition? condition_parser?").partition(": ")
    words = arguments.split()
    optional = {word.removesuffix("?") for word in words if word.endswith("?")}
    return name, Arguments(frozenset(words) - {f"{word}?" for word in optional}, frozenset(optional | {"severity"}))


EXPECTATIONS: dict[str, Arguments] = dict(_read(line) for line in _TABLE.strip().splitlines())
