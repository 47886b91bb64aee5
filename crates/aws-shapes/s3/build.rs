fn main() {
    aws_shapes_codegen::build("s3");
}
