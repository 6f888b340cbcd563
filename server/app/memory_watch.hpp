// Whether memory runs short, with a distance between the beginning and the end of it so that it does not flutter. Plain
// decision; the caller measures.
#pragma once

#include <cstdint>
#include <optional>

namespace scoregate::app {

class memory_watch {
public:
    enum class change : std::uint8_t { none, began, ended };

    // `used` bytes of `most`, or of as many as there are. It begins at `most` and ends a sixteenth below.
    change judge(std::uint64_t used, std::optional<std::uint64_t> most) {
        const bool was = short_;
        short_ = most && used >= (was ? *most - *most / 16 : *most);
        return short_ == was ? change::none : short_ ? change::began : change::ended;
    }
    bool is_short() const { return short_; }

private:
    bool short_ = false;
};

} // namespace scoregate::app
