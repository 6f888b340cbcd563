// A YAML file as a tree that knows its lines. Read by libyaml, which hands out events without recursion and ends with
// an error, not with an abort, whatever a file holds. Bounded in size, depth and nodes, aliases counted as what they
// stand for. Blocks on nothing; any thread.
#pragma once

#include "config/problem.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::azureml {

inline constexpr std::size_t most_yaml_bytes = 256 * 1024;

struct node {
    enum class kind : std::uint8_t { nothing, scalar, list, mapping }; // nothing: null, or left empty

    kind is = kind::nothing;
    unsigned line = 0;       // from 1; of an entry of a mapping where its name stands
    std::string name;        // of an entry of a mapping
    std::string text;        // of a scalar, without quotes
    std::vector<node> items; // of a list, or the entries of a mapping in their order, each name once

    // The entry of a mapping; null if there is none.
    const node* find(std::string_view name) const;
};

struct source_file {
    std::string name;     // as problems name it
    std::string text;     // what it holds
    std::string defect{}; // why it could not be read, and what to do; empty if it could
};

// The place of a line, as problems name it: FILE:LINE.
std::string place(const std::string& file, unsigned line);

// Whether the file could be read and is no larger than most_yaml_bytes; else the problem is in `out`.
bool is_whole(const source_file&, config::problems& out);

// The one document of the text; nothing, with all problems in `out`, if it is not YAML, goes beyond the bounds, has an
// entry twice, or uses what no file of Azure's needs: tags, merges, names that are no plain text, further documents.
node read_yaml(const std::string& file, std::string_view text, config::problems& out);

// The same of a file that has to hold a mapping, `what` it should be. A node of kind nothing if it is refused.
node read_mapping(const source_file&, const std::string& what, config::problems& out);

} // namespace scoregate::azureml
