// What the directory services_dir holds: a file NAME.json for each service. Read as it is, judged by load(). Blocking
// file reads: the background threads or start-up only.
#pragma once

#include "config/problem.hpp"

#include <string>
#include <vector>

namespace scoregate::config {

struct source;

struct services_folder {
    struct file {
        std::string name;    // of the service: the file's, without .json
        std::string path;    // as problems name it
        std::string text;    // what it holds
        std::string problem; // why it cannot be read; else empty
    };

    std::string path;        // as problems name it; empty: none is asked for
    std::string problem;     // why it cannot be listed; else empty
    std::vector<file> files; // sorted by name

    // What has to be watched to see it change: absolute paths.
    std::vector<std::string> watched() const;
};

// Files that do not end in .json are left out, and whatever begins with a dot, such as the ..data of a Kubernetes
// mount.
services_folder read_services_folder(const std::string& path);

// services_dir as the configuration of that text and its overrides have it, seen from the working directory; empty if
// there is none, or the text is no good. Remembers the last text: who looks every second at one that hardly ever
// changes need not parse it again.
class services_dir {
public:
    const std::string& of(const source&, const std::string& text);

private:
    std::string text_, path_;
};

// Empty once `text` is what the file holds, otherwise what is wrong. `regular`: refuses a pipe, without waiting for it.
std::string read_file(const std::string& path, bool regular, std::string& text);

} // namespace scoregate::config
