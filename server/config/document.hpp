// The JSON an operator wrote, with the overrides put in, and what is wrong with it: every problem names where the value
// came from and problems come out in the order of the file. Owned by one load(); the control thread or start-up.
#pragma once

#include "config/load.hpp"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace scoregate::config {

class document {
public:
    // Parses; a syntax error or a key given twice becomes a problem. `file` is what problems name.
    document(std::string file, std::string_view text);

    // Whether the text was JSON; if not, the root is null and nothing else can be said.
    bool readable() const { return readable_; }
    const nlohmann::json& root() const { return root_; }

    // Puts the value in place of what the file says, converted to the type `keys` gives for it. A text that does not
    // convert, or an unknown key, goes in as text, so that reading refuses it like one of the file. What is in a list
    // of objects cannot be set.
    void apply(const override_setting&, const std::vector<key_description>& keys);

    // Whether the file, or what was applied so far, has something there, be it null; or null for what would hold it.
    bool gives(const std::string& key) const;

    void refuse(const std::string& pointer, std::string message);

    // Where the value at the pointer came from: the file, or the origin of an override of it or of what holds it.
    const std::string& origin_of(const std::string& pointer) const;

    problems take_problems();

private:
    std::string file_;
    nlohmann::json root_;
    bool readable_ = false;
    std::map<std::string, std::size_t> position_; // pointer -> how many values came before it in the file
    std::map<std::string, std::string> origins_;  // pointer -> origin of the override that made it
    problems problems_;
};

} // namespace scoregate::config
